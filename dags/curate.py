"""The Airflow DAG `curate`: raw files to a published data set, on a schedule. (Airflow skips files without its name.)"""

from pipeline_dag import DATASET, pipeline_dag
from stages.pipeline import CURATE
from stages.store.storage import setting

dag = pipeline_dag(CURATE, schedule=setting("CURATE_SCHEDULE", "@daily"), publishes=DATASET)
