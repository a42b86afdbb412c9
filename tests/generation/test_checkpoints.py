"""Checkpoints: any SAM of the family loads, and nothing else does."""

import pickle

import numpy as np
import pytest
import torch
from networks import small_sam
from segment_anything import build_sam_vit_b

from curation.errors import InputError
from curation.generation.segmenters.checkpoints import load_sam


@pytest.mark.parametrize(
    "build",
    [small_sam, lambda: small_sam(side=8, patch=8, dim=64), build_sam_vit_b],
    ids=["small", "other", "vit_b"],
)
def test_the_architecture_is_read_from_the_shapes(build, tmp_path):
    sam = build().eval()
    torch.save(sam.state_dict(), tmp_path / "sam.pth")
    loaded = load_sam(tmp_path / "sam.pth")
    assert repr(loaded) == repr(sam)
    side = sam.image_encoder.img_size
    assert loaded.image_encoder.img_size == side
    if side < 1024:
        pixels = torch.rand(1, 3, side, side)
        with torch.no_grad():
            assert torch.equal(loaded.image_encoder(pixels), sam.image_encoder(pixels))


def test_a_training_checkpoint_with_the_weights_inside_loads(tmp_path):
    torch.save({"model": small_sam().state_dict(), "epoch": 3}, tmp_path / "sam.pth")
    load_sam(tmp_path / "sam.pth")


class Trap:
    def __reduce__(self):
        return print, ("code in a checkpoint ran",)


def test_a_file_with_code_in_it_is_refused_and_not_run(tmp_path, capsys):
    (tmp_path / "sam.pth").write_bytes(pickle.dumps(Trap()))
    with pytest.raises(InputError, match="weights alone"):
        load_sam(tmp_path / "sam.pth")
    torch.save({"model": Trap()}, tmp_path / "sam.pth")
    with pytest.raises(InputError, match="weights alone"):
        load_sam(tmp_path / "sam.pth")
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", b"PK\x03\x04 cut short"])
def test_a_foreign_file_is_refused(content, tmp_path):
    (tmp_path / "sam.pth").write_bytes(content)
    with pytest.raises(InputError, match=r"sam\.pth"):
        load_sam(tmp_path / "sam.pth")


@pytest.mark.parametrize(
    "weights",
    [{}, {"layer.weight": torch.zeros(3)}, [1, 2], torch.zeros(3), {"a": np.float64(3).item()}],
    ids=str,
)
def test_weights_of_another_network_are_refused(weights, tmp_path):
    torch.save(weights, tmp_path / "sam.pth")
    with pytest.raises(InputError, match=r"SAM|state dict"):
        load_sam(tmp_path / "sam.pth")


def test_weights_that_lack_a_layer_are_refused(tmp_path):
    weights = small_sam().state_dict()
    del weights["mask_decoder.iou_token.weight"]
    torch.save(weights, tmp_path / "sam.pth")
    with pytest.raises(InputError, match="not those of a SAM"):
        load_sam(tmp_path / "sam.pth")
