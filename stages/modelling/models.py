"""Opens and saves model folders: safetensors only, no code from the folder, no network, nothing guessed silently."""

import json
import shutil
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import nn
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedConfig, PreTrainedModel
from transformers.conversion_mapping import get_model_conversion_mapping
from transformers.core_model_loading import WeightRenaming, rename_source_key
from transformers.utils import logging as transformers_logging

from stages.errors import ConfigError, DataError
from stages.modelling.served_model import BESIDE

CONFIG = "config.json"
ADAPTER_CONFIG = "adapter_config.json"  # of a PEFT folder
SINGLE_FILE, INDEX = "model.safetensors", "model.safetensors.index.json"
PICKLES = (".bin", ".pt", ".pth", ".pkl", ".ckpt")  # loading one can run any code
# What belongs to a tokenizer folder, the proof of its masks included.
TOKENIZER_FILES = (
    "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "chat_template.jinja",
    "tokenizer.model", "spiece.model", "vocab.json", "vocab.txt", "merges.txt", "encoder.json", "vocab.bpe",
    "mask_certificate.json",
)  # fmt: skip
MODEL_FOLDER = (
    "a model folder holds config.json, model.safetensors (or its parts and their index) and the tokenizer's files"
)


@contextmanager
def repeatable(cpu_threads: int) -> Iterator[None]:
    """Inside, the same work gives the same bits on the same kind of CPU, and torch's global state is restored after it.

    A GPU computes as fast as it can instead: its sums may differ in the last bits from run to run.
    """
    threads, deterministic = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    torch.set_num_threads(cpu_threads)
    torch.use_deterministic_algorithms(not torch.cuda.is_available())
    try:
        with torch.random.fork_rng(devices=[]):
            yield
    finally:
        torch.use_deterministic_algorithms(deterministic)
        torch.set_num_threads(threads)


@contextmanager
def quiet_peft() -> Iterator[None]:
    """Inside, PEFT 0.21 does not warn that it calls a function which transformers 5.23 renamed, that it cannot tie
    matrices which an adapter trained apart (they are saved, loaded and merged as two), or that a bias is no matrix."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"Adapter .* have invalid shape: \S+lora_B\.bias", UserWarning)
        warnings.filterwarnings("ignore", "Model has `tie_word_embeddings=True` and a tied layer", UserWarning)
        warnings.filterwarnings("ignore", "`is_gradient_checkpointing` is deprecated", FutureWarning)
        yield


def load_config(folder: Path) -> PreTrainedConfig:
    """The shape of the model in `folder`; ConfigError where there is none, or one that only the folder's own code could read."""
    folder = weights_folder(folder)
    if (folder / ADAPTER_CONFIG).is_file() and not (folder / CONFIG).is_file():
        raise ConfigError(f"{folder} holds an adapter without its base; merge the two first, and give the merged model")
    if not (folder / CONFIG).is_file():
        raise ConfigError(f"{folder} holds no {CONFIG}, so it is no model; {MODEL_FOLDER}")
    try:
        config = AutoConfig.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
    except (ValueError, KeyError, OSError, TypeError) as error:
        raise ConfigError(
            f"{folder / CONFIG} describes no model that can be read: {_first_line(error)}; {MODEL_FOLDER}"
        ) from error
    if getattr(config, "quantization_config", None) is not None:
        raise ConfigError(
            f"{folder} holds quantised weights, which cannot be trained or merged; give the 16 or 32 bit model"
        )
    return config


def weight_files(folder: Path) -> list[Path]:
    """The safetensors files with the model's weights, in the order of their names; ConfigError where any is missing."""
    names = _indexed_files(folder / INDEX) if (folder / INDEX).is_file() else [SINGLE_FILE]
    missing = [name for name in names if not (folder / name).is_file()]
    pickles = sorted(path.name for path in folder.iterdir() if path.suffix in PICKLES)
    if missing and pickles:
        raise ConfigError(
            f"{folder} holds pickled weights ({', '.join(pickles[:3])}), which can run any code when they are opened; "
            f"give the same model as safetensors; {MODEL_FOLDER}"
        )
    if missing:
        raise ConfigError(
            f"{folder} lacks {len(missing)} of {len(names)} weight files ({', '.join(missing[:3])}); {MODEL_FOLDER}"
        )
    return [folder / name for name in names]


def _indexed_files(index: Path) -> list[str]:
    try:
        names = sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
    except (ValueError, KeyError, AttributeError, TypeError) as error:
        raise DataError(
            f"{index} is no index of weight files ({_first_line(error)}); copy the model folder again"
        ) from error
    if strange := [name for name in names if Path(name).name != name or not name.endswith(".safetensors")]:
        raise ConfigError(
            f"{index} names {len(strange)} files that are no safetensors beside it ({strange[0]}); {MODEL_FOLDER}"
        )
    return names


def load_model(folder: Path, dtype: torch.dtype | None = None) -> PreTrainedModel:
    """The causal language model in `folder`, in evaluation mode, with `dtype` or else the one it is stored in.

    Raises ConfigError for a folder that holds no readable model, and DataError for weights that are damaged or that
    lack a tensor of the model: transformers would fill it with random numbers. Where the folder is that of an adapter with
    its base beside it, the model has the adapter.
    """
    given, folder = folder, weights_folder(folder)
    config = load_config(folder)
    for path in weight_files(folder):
        _check_weights(path)
    transformers_logging.disable_progress_bar()
    try:
        model, report = AutoModelForCausalLM.from_pretrained(
            folder, dtype=dtype or "auto", attn_implementation=attention_of(config), use_safetensors=True,
            trust_remote_code=False, local_files_only=True, output_loading_info=True,
        )  # fmt: skip
    except (ValueError, KeyError, OSError, RuntimeError) as error:
        raise ConfigError(
            f"{folder} does not load as a causal language model: {_first_line(error)}; {MODEL_FOLDER}"
        ) from error
    if missing := sorted(report["missing_keys"]):
        raise DataError(
            f"{folder}: the weights lack {len(missing)} tensors of the model (first: {missing[0]}); copy it again"
        )
    if folder != given:
        from stages.modelling.adapters import attach, token_rows  # which read models themselves

        add_token_rows(model, token_rows(given))
        attach(model, given)
    loaded: PreTrainedModel = model.eval()
    return loaded


def weights_folder(folder: Path) -> Path:
    """Where config and weights are: in `folder`, or below it where it holds an adapter with its base beside it."""
    is_beside = not (folder / CONFIG).is_file() and (folder / BESIDE / CONFIG).is_file()
    return folder / BESIDE if is_beside else folder


def attention_of(config: PreTrainedConfig) -> str:
    """Always said, never left to config.json: the fast one where the architecture has it, else the plain one."""
    try:
        with torch.device("meta"):
            AutoModelForCausalLM.from_config(config, attn_implementation="sdpa", trust_remote_code=False)
    except ValueError:
        return "eager"
    return "sdpa"


def stored_names(model: PreTrainedModel, files: Iterable[str]) -> dict[str, str]:
    """What the model calls each tensor of its files -> what these do: they may leave out the inner model's name, or be of
    an older version (GPT-NeoX's `embed_out` is now `lm_head`)."""
    renamings = [change for change in get_model_conversion_mapping(model) if isinstance(change, WeightRenaming)]
    own = model.state_dict()
    return {rename_source_key(name, renamings, [], model.base_model_prefix, own)[0]: name for name in files}


def _check_weights(path: Path) -> None:
    try:
        with safe_open(path, framework="pt"):
            pass
    except (SafetensorError, OSError) as error:
        raise DataError(f"{path} is damaged ({_first_line(error)}); copy the model folder again") from error


def copy_tokenizer(source: Path, target: Path) -> None:
    """Copies the tokenizer's files as they are, so that what serves is byte for byte what the examples were made with."""
    for name in TOKENIZER_FILES:
        if (source / name).is_file():
            shutil.copyfile(source / name, target / name)


def embedding_rows(model: PreTrainedModel) -> int:
    """How many token ids the model can read."""
    return int(model.get_input_embeddings().weight.shape[0])


def add_token_rows(model: PreTrainedModel, tokens: int) -> int:
    """Gives both embedding matrices `tokens` rows if they have fewer, the new ones the mean of the old; returns how many are new.

    A mean row makes a new token as likely as the average one; a random row can dominate the softmax.
    Source: John Hewitt, "Initializing New Word Embeddings for Pretrained Language Models", 2021.
    """
    rows = embedding_rows(model)
    if tokens <= rows:
        return 0
    model.resize_token_embeddings(tokens, mean_resizing=False)
    matrices = {id(m): m for m in (model.get_input_embeddings(), model.get_output_embeddings()) if m is not None}
    with torch.no_grad():
        for matrix in matrices.values():
            _fill_with_mean(matrix.weight, rows)
            if getattr(matrix, "bias", None) is not None:
                _fill_with_mean(matrix.bias, rows)
    return tokens - rows


def _fill_with_mean(weight: nn.Parameter, rows: int) -> None:
    weight[rows:] = weight[:rows].float().mean(dim=0).to(weight.dtype)


def set_stop_ids(model: PreTrainedModel, stop_ids: Sequence[int]) -> None:
    """Makes generation, here or on a server, stop at any of `stop_ids`; none = as the model did before."""
    if not stop_ids:
        return
    ids: Any = list(stop_ids) if len(stop_ids) > 1 else stop_ids[0]
    model.config.get_text_config().eos_token_id = ids
    if model.generation_config is not None:
        model.generation_config.eos_token_id = ids


def save_model(model: PreTrainedModel, folder: Path) -> None:
    """Writes config.json, generation_config.json and the weights as safetensors."""
    transformers_logging.disable_progress_bar()
    model.save_pretrained(folder)


def _first_line(error: BaseException) -> str:
    return (str(error) or type(error).__name__).strip().split("\n")[0]
