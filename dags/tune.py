"""DAG `tune`: the newest published data set to a judged model version, when a data set is published or by time.

The event only wakes it up: `plan` takes the newest published data set itself, and a data set that already has a model
costs nothing, as every stage is found done. So an event that Airflow strands (apache/airflow#56050) loses nothing.
"""

from airflow.sdk import AssetOrTimeSchedule, CronTriggerTimetable

from pipeline_dag import DATASET, pipeline_dag
from stages.pipeline import TUNE
from stages.store.storage import setting

timetable = CronTriggerTimetable(setting("TUNE_SCHEDULE", "0 6 * * *"), timezone="UTC")
dag = pipeline_dag(TUNE, schedule=AssetOrTimeSchedule(timetable=timetable, assets=[DATASET]))
