"""What a stage is. Airflow parses this module, so it imports only the standard library and pydantic."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

# Of a `rows` stage, at most, as bytes bound a batch too. Score compiles its patterns for each, a tenth of a second.
DEFAULT_BATCH_ROWS = 32_768


class Declaration(BaseModel):
    """Cannot change once made; a misspelt field is an error, and so is a number without end."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=(), allow_inf_nan=False)


class Params(Declaration):
    """What a run may change about one stage. `None` means off; 0 means 0."""

    def outputs_left_out(self) -> tuple[str, ...]:
        """Outputs that a run with these values does not make (the other side of a stage's `either`)."""
        return ()

    def inputs_left_out(self) -> tuple[str, ...]:
        """Optional inputs that a run with these values does not read: they are neither opened nor part of the key."""
        return ()

    def inputs_needed(self) -> tuple[str, ...]:
        """Optional inputs that a run with these values cannot do without."""
        return ()

    def settings_needed(self) -> tuple[str, ...]:
        """Settings that no default can fill and that these values leave open: a run is refused before its first stage."""
        return ()

    def misplaced(self) -> tuple[str, ...]:
        """In words, settings that name a place on this disk where something else lies than they need."""
        return ()

    def lacking_in(self, planned: Mapping[str, "Params"]) -> tuple[str, ...]:
        """In words, what these values need of other stages and `planned` (stage -> values) does not have them do."""
        return ()

    def in_run(self, planned: Mapping[str, "Params"], name: str = "") -> Self:
        """These values in the run `name`, empty before it has one, whose plan has `planned` (stage -> values): for a
        stage that tells about others."""
        return self


def setting(
    default: Any,
    description: str,
    *,
    unit: str | None = None,
    execution_only: bool = False,
    content: bool = False,
    **bounds: Any,
) -> Any:
    """A field of Params.

    `execution_only` values change how fast a result comes, never the result, so they are not part of the cache key.
    `content` values are paths: the key holds the digest of what is there, not its name.
    """
    facts: dict[str, Any] = {"unit": unit, "execution_only": execution_only, "content": content}
    return Field(default, description=description, json_schema_extra=facts, **bounds)


Kind = Literal["rows", "table", "job"]


class Stage(Declaration):
    """One program of the pipeline: `stages/<name>/stage.py` declares it, `transform.py` or `job.py` does it.

    rows:  `transform(batch, *, params)`, each row on its own; the runner splits the input anywhere. Where it `prepares`,
           a worker gets, as `prepared`, what `preparation.prepare(params)` of that folder made in another process; that
           says, as `leaves_lock`, whether most of the work lets go of Python's lock, so that workers may be threads.
    table: `transform(datasets…, *, params, progress)`, sees whole datasets; may give `told` beside them, lines for people.
    Both give a NamedTuple with a table for each output, of its name.
    job:   `run(inputs…, *, outputs…, params, workbench)`, folders in and folders out, with effects.
    """

    name: str
    purpose: str
    kind: Kind
    inputs: tuple[str, ...]
    optional_inputs: tuple[str, ...] = ()
    outputs: tuple[str, ...]
    either: tuple[str, ...] = ()  # of these outputs a run makes exactly one; Params.outputs_left_out says which not
    keeps: str | None = None  # a deciding stage: ids of inputs[0] = ids of `keeps` + ids of `sets_aside`
    sets_aside: str | None = None
    params: type[Params]
    image: Literal["data", "train"]
    costly_rows: bool = False  # of a `rows` stage: to look up what was made of a row before is cheaper than to make it
    prepares: bool = False  # a `rows` stage that takes seconds before its first row
    gpus: int = 0
    outside: bool = False  # its effects reach beyond its output folder (a registry), so a hit asks whether they stand

    @model_validator(mode="after")
    def _fields_agree(self) -> Self:
        decision = [name for name in (self.keeps, self.sets_aside) if name]
        if unknown := sorted({*self.either, *decision} - set(self.outputs)):
            raise ValueError(f"stage {self.name} names {unknown}, which are not among its outputs {list(self.outputs)}")
        if (self.costly_rows or self.prepares) and self.kind != "rows":
            raise ValueError(
                f"stage {self.name} has costly rows or prepares, and is no `rows` stage that sees each on its own"
            )
        if self.sets_aside and not self.keeps:
            raise ValueError(f"stage {self.name} sets rows aside and does not say which output keeps the others")
        return self

    @property
    def decided(self) -> str | None:
        """The input whose rows this stage divides into kept and set aside; None for a stage that decides nothing."""
        return self.inputs[0] if self.keeps else None

    def inputs_read(self, params: Params) -> tuple[str, ...]:
        """The inputs of a run with `params`, in declared order; optional ones may be absent."""
        left_out = set(params.inputs_left_out())
        return (*self.inputs, *(name for name in self.optional_inputs if name not in left_out))

    def outputs_made(self, params: Params) -> tuple[str, ...]:
        """The outputs of a run with `params`, in declared order."""
        left_out = set(params.outputs_left_out())
        return tuple(name for name in self.outputs if name not in left_out)

    def named(self, made: Any) -> dict[str, Any]:
        """What this stage's transform gave, by name. TypeError, for who writes a stage, when it has no names."""
        if not hasattr(made, "_asdict"):
            raise TypeError(
                f"stages/{self.name}/transform.py gives a {type(made).__name__}; let it give a NamedTuple with a table for "
                f"each output: {', '.join(self.outputs)}"
            )
        return dict(made._asdict())


class Pipeline(Declaration):
    """Stages in reading order: each reads only what a source or an earlier stage makes, so there is no cycle."""

    name: str
    purpose: str
    sources: tuple[str, ...]  # datasets that come from outside
    stages: tuple[Stage, ...]

    @model_validator(mode="after")
    def _each_dataset_is_made_once_and_before_it_is_read(self) -> Self:
        made = set(self.sources)
        replaceable: set[str] = set()
        for stage in self.stages:
            if missing := sorted(set(stage.inputs) - made):
                raise ValueError(f"stage {stage.name} reads {missing}, which no earlier stage makes")
            if twice := sorted(set(stage.outputs) & (made - replaceable)):
                raise ValueError(f"stage {stage.name} makes {twice}, which is already made")
            made |= set(stage.outputs)
            replaceable |= set(stage.either)
        names = [stage.name for stage in self.stages]
        if doubled := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"pipeline {self.name} names {doubled} twice")
        return self

    def upstream(self, stage: Stage) -> tuple[Stage, ...]:
        """The stages whose outputs `stage` reads, in reading order."""
        read = {*stage.inputs, *stage.optional_inputs}
        earlier = self.stages[: self.stages.index(stage)]
        return tuple(s for s in earlier if set(s.outputs) & read)

    def downstream(self, stage: Stage) -> tuple[Stage, ...]:
        """The stages that rest on what `stage` makes, also through others, in reading order."""
        made, found = set(stage.outputs), []
        for other in self.stages:
            if made & {*other.inputs, *other.optional_inputs} and other != stage:
                found.append(other)
                made |= set(other.outputs)
        return tuple(found)

    def stage(self, name: str) -> Stage:
        """The stage of that name; KeyError when this pipeline has none."""
        return next(s for s in self.stages if s.name == name)


class Progress(Protocol):
    """Where a long job says how far it is."""

    def __call__(self, done: int, total: int | None, unit: str, **facts: Any) -> None: ...


@dataclass(frozen=True)
class Workbench:
    """What the runner lends a job."""

    scratch: Path  # survives a retry with the same key, removed once the result stands
    cache: Path  # outlives the run, for what the same code may need again; anything in it may vanish between two runs
    workers: int  # processes it may use
    tracking_uri: str  # MLflow
    progress: Progress
    key: str  # identity of this execution: the same inputs, params and code give the same key
    input_digests: dict[str, str]  # dataset -> digest of its manifest
