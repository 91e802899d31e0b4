"""What the register stage reads, makes and may be told."""

from stages.contract import Params, Stage, setting


class RegisterParams(Params):
    """Where in MLflow the model goes."""

    name: str = setting("temper", "Name of the registered model that gets a new version", pattern=r"^[^/:']+$")
    experiment: str = setting("temper", "MLflow experiment that holds the run and the model's files", min_length=1)


STAGE = Stage(
    name="register",
    purpose="Stores the model with its lineage, metrics and model card in MLflow, as a new version of a registered model",
    kind="job",
    inputs=("model", "evaluation", "examples"),
    optional_inputs=("adapter", "training_log", "generations", "decontamination"),
    outputs=("model_version",),
    params=RegisterParams,
    image="train",
    outside=True,
)
