from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from stages.errors import DataError
from stages.modelling.models import weight_files
from stages.modelling.tensor_files import TensorFile, TensorFolder, copied, write_tensors
from tiny_model import make_config, save_model


@given(st.data())
@settings(max_examples=25, deadline=None)
def test_the_library_reads_what_was_written_and_the_other_way_round(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("files")
    kinds = [torch.float32, torch.bfloat16, torch.float16, torch.int64, torch.uint8, torch.bool]
    shapes = data.draw(st.lists(st.lists(st.integers(0, 5), max_size=3), min_size=1, max_size=6))
    tensors = {
        f"é{number}": torch.from_numpy(np.arange(int(np.prod(shape))).reshape(shape)).to(
            data.draw(st.sampled_from(kinds))
        )
        for number, shape in enumerate(shapes)
    }
    save_file(tensors, folder / "a.safetensors", {"format": "pt"})
    file = TensorFile(folder / "a.safetensors")
    write_tensors(folder / "b.safetensors", {n: copied(file, n) for n in file.places}, file.metadata, threads=2)
    for path in (folder / "a.safetensors", folder / "b.safetensors"):
        ours, theirs = TensorFile(path), load_file(path)
        assert ours.places.keys() == theirs.keys() == tensors.keys()
        for name, tensor in tensors.items():
            assert torch.equal(theirs[name], tensor)
            assert torch.equal(ours.rows(name), tensor)


@pytest.mark.parametrize("size", [4, 20, 3000])
def test_a_cut_file_is_refused(tmp_path: Path, size: int) -> None:
    (path,) = weight_files(save_model(make_config(60), tmp_path / "base"))
    (tmp_path / "cut.safetensors").write_bytes(path.read_bytes()[:size])
    with pytest.raises(DataError, match="is damaged"):
        TensorFolder([tmp_path / "cut.safetensors"])
