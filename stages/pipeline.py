"""The pipelines, in reading order. To add a stage, write its folder and its schema, and name it here."""

from stages.contract import Pipeline, Stage
from stages.decontaminate.stage import STAGE as DECONTAMINATE
from stages.dedup.stage import STAGE as DEDUP
from stages.evaluate.stage import STAGE as EVALUATE
from stages.filter.stage import STAGE as FILTER
from stages.ingest.stage import STAGE as INGEST
from stages.merge.stage import STAGE as MERGE
from stages.mix.stage import STAGE as MIX
from stages.promote.stage import STAGE as PROMOTE
from stages.rate.stage import STAGE as RATE
from stages.register.stage import STAGE as REGISTER
from stages.report.stage import STAGE as REPORT
from stages.score.stage import STAGE as SCORE
from stages.tokenize.stage import STAGE as TOKENIZE
from stages.train.stage import STAGE as TRAIN

CURATION: tuple[Stage, ...] = (
    INGEST,
    DEDUP,
    SCORE,
    RATE,
    FILTER,
    DECONTAMINATE,
    MIX,
    TOKENIZE,
)
TUNING: tuple[Stage, ...] = (
    TRAIN,
    MERGE,
    EVALUATE,
    REGISTER,
    PROMOTE,
    REPORT,
)

CURATE = Pipeline(
    name="curate",
    purpose="Raw files to a published data set of tokenized, masked examples",
    sources=("raw", "evals", "base"),
    stages=CURATION,
)
TUNE = Pipeline(
    name="tune",
    purpose="The newest published data set to a registered, judged model version",
    sources=("base", "plain_text", *(name for stage in CURATION for name in stage.outputs)),
    stages=TUNING,
)
ALL = Pipeline(
    name="all",
    purpose="Raw files to a registered model, in one run",
    sources=("raw", "evals", "base", "plain_text"),
    stages=CURATION + TUNING,
)
TRIAL = Pipeline(
    name="trial",
    purpose="Raw files to a measured model that nobody registers: one point of a sweep",
    sources=("raw", "evals", "base", "plain_text"),
    stages=(*CURATION, TRAIN, MERGE, EVALUATE),
)

PIPELINES: dict[str, Pipeline] = {pipeline.name: pipeline for pipeline in (CURATE, TUNE, ALL, TRIAL)}
STAGES: dict[str, Stage] = {stage.name: stage for stage in ALL.stages}
