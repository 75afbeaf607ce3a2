"""Labelled folders in the layouts of BigEarthNet and EuroSAT: bands, labels, splits, what is left out."""

import json
from collections import Counter

import h5py
import numpy as np
import pytest
import rasterio
from click.testing import CliRunner

from bench.downstream.convert import main as convert
from bench.downstream.eurosat import FILE_BANDS
from bench.downstream.folders import detect_layout, open_folder
from bench.downstream.nomenclature import CLASS_OF_LABEL, CLASSES_19, DROPPED_LABELS, LABELS_43
from eocodec.bands import MODEL_BANDS
from eocodec.errors import InputError
from eocodec.resample import upsample2

TRANSFORM = rasterio.Affine(10, 0, 0, 0, -10, 0)
SEA = ["Sea and ocean", "Port areas"]
FIELDS = ["Non-irrigated arable land", "Rice fields", "Pastures"]


def write_tiff(path, pixels):
    path.parent.mkdir(parents=True, exist_ok=True)
    shape = dict(zip(("count", "height", "width"), pixels.shape, strict=True))
    with rasterio.open(
        path, "w", driver="GTiff", dtype=pixels.dtype, transform=TRANSFORM, **shape
    ) as out:
        out.write(pixels)


def write_big_patch(folder, name, stack, labels):
    for band, plane in zip(MODEL_BANDS, stack, strict=True):
        coarse = band not in ("B02", "B03", "B04", "B08")
        write_tiff(
            folder / name / f"{name}_{band}.tif", (plane[::2, ::2] if coarse else plane)[None]
        )
    write_tiff(folder / name / f"{name}_B01.tif", stack[:1, :10, :10])
    (folder / name / f"{name}_labels_metadata.json").write_text(json.dumps({"labels": labels}))


@pytest.fixture
def bigearthnet(tmp_path, stack):
    labels = {"a": SEA, "b": FIELDS, "c": ["Airports"], "d": SEA, "e": FIELDS}
    for shift, (name, found) in enumerate(labels.items()):
        write_big_patch(tmp_path, name, stack[:, :60, :60] + shift, found)
    return tmp_path


@pytest.fixture
def eurosat(tmp_path, stack):
    for number in range(12):
        for kind in ("Forest", "River"):
            pixels = np.zeros((13, 64, 64), np.uint16)
            pixels[[FILE_BANDS.index(name) for name in MODEL_BANDS]] = stack + number
            write_tiff(tmp_path / "EuroSATallBands" / kind / f"{kind}_{number}.tif", pixels)
    return tmp_path


def write_lists(folder, suffix=".csv", **splits):
    for split, names in splits.items():
        text = "".join(f"{name}\n" for name in names)
        (folder / f"{split.replace('_', '-')}{suffix}").write_text(text)


def test_nomenclature_maps_32_labels_to_19_classes_and_drops_11():
    assert len(LABELS_43) == len(set(LABELS_43)) == 43
    assert len(CLASSES_19) == 19
    assert not set(DROPPED_LABELS) & set(CLASS_OF_LABEL)
    sizes = Counter(CLASS_OF_LABEL.values())
    grouped = {name: count for name, count in sizes.items() if count > 1}
    assert grouped == {
        "Urban fabric": 2,
        "Arable land": 3,
        "Permanent crops": 4,
        "Natural grassland and sparsely vegetated areas": 2,
        "Moors, heathland and sclerophyllous vegetation": 2,
        "Inland wetlands": 2,
        "Coastal wetlands": 2,
        "Inland waters": 2,
        "Marine waters": 3,
    }


def test_bigearthnet_labels_of_19_and_43_classes(bigearthnet):
    found = open_folder(bigearthnet)
    assert found.name == "BigEarthNet-19"
    assert found.names == ("a", "b", "d", "e")
    assert [[found.classes[k] for k in np.flatnonzero(row)] for row in found.labels[:2]] == [
        ["Marine waters"],
        ["Arable land", "Pastures"],
    ]
    assert "0 patches covered" in found.notes[0]
    assert "1 without a label" in found.notes[0]
    assert sorted(np.concatenate(list(found.splits.values()))) == [0, 1, 2, 3]
    every = open_folder(bigearthnet, classes=43)
    assert every.names == ("a", "b", "c", "d", "e")
    assert every.labels.sum(axis=1).tolist() == [2, 3, 1, 2, 3]


def test_bigearthnet_doubles_the_20_m_bands(bigearthnet, stack):
    pixels = open_folder(bigearthnet).pixels([1])
    expected = stack[:, :60, :60] + 1
    assert pixels.shape == (1, 10, 60, 60)
    assert (pixels[0, 6] == expected[6]).all()
    doubled = np.rint(upsample2(expected[9, ::2, ::2]))
    assert (pixels[0, 9] == doubled).all()


def test_bigearthnet_obeys_the_lists_of_splits_snow_and_cloud(bigearthnet):
    write_lists(bigearthnet, train=["e", "absent", "b"], val=["d,S1_d"], test=["a"])
    found = open_folder(bigearthnet)
    splits = {split: [found.names[i] for i in at] for split, at in found.splits.items()}
    assert splits == {"train": ["e", "b"], "val": ["d"], "test": ["a"]}
    write_lists(bigearthnet, patches_with_seasonal_snow=[])
    (bigearthnet / "patches_with_cloud_and_shadow.csv").write_text("b\nc\n")
    found = open_folder(bigearthnet)
    assert found.names == ("a", "d", "e")
    assert found.notes[0].startswith("2 patches covered")


def test_eurosat_picks_the_ten_bands_from_thirteen(eurosat, stack):
    found = open_folder(eurosat)
    assert found.classes == ("Forest", "River")
    index = found.names.index("River_7")
    assert found.labels[index].tolist() == [False, True]
    assert (found.pixels([index])[0] == stack + 7).all()


def test_eurosat_without_lists_is_split_by_class_and_name_alone(eurosat):
    found = open_folder(eurosat)
    sizes = {split: found.labels[at].sum(axis=0).tolist() for split, at in found.splits.items()}
    assert sizes == {"train": [7, 7], "val": [3, 3], "test": [2, 2]}
    again = open_folder(eurosat)
    assert all((found.splits[split] == again.splits[split]).all() for split in sizes)


def test_eurosat_takes_lists_with_names_of_images(eurosat):
    write_lists(eurosat, ".txt", eurosat_train=["Forest_1.jpg"], eurosat_val=["River_2.jpg"])
    with pytest.raises(InputError, match="no list for the split test"):
        open_folder(eurosat)
    write_lists(eurosat, ".txt", eurosat_test=["River_3.tif", "Forest_1.jpg"])
    with pytest.raises(InputError, match="Forest_1 is in the lists of train and test"):
        open_folder(eurosat)
    write_lists(eurosat, ".txt", eurosat_test=["River_3.tif"])
    found = open_folder(eurosat)
    assert [found.names[found.splits[s][0]] for s in ("train", "val", "test")] == [
        "Forest_1",
        "River_2",
        "River_3",
    ]


def test_layouts_are_told_apart(bigearthnet, tmp_path_factory, eurosat):
    assert detect_layout(bigearthnet) == "bigearthnet"
    assert detect_layout(eurosat / "EuroSATallBands") == "eurosat"
    with pytest.raises(InputError, match="neither BigEarthNet"):
        detect_layout(tmp_path_factory.mktemp("empty"))


def test_unknown_labels_and_damaged_files_are_refused(bigearthnet):
    path = bigearthnet / "a" / "a_labels_metadata.json"
    path.write_text(json.dumps({"labels": ["Moon"]}))
    with pytest.raises(InputError, match="unknown label Moon"):
        open_folder(bigearthnet)
    path.write_text("{")
    with pytest.raises(InputError, match="not JSON"):
        open_folder(bigearthnet)
    path.write_text(json.dumps({"labels": SEA}))
    (bigearthnet / "a" / "a_B03.tif").unlink()
    with pytest.raises(InputError, match="a_B03"):
        open_folder(bigearthnet).pixels([0])


def test_stacks_in_hdf5_become_a_folder_with_splits(tmp_path, stack):
    for split in ("train", "val", "test"):
        with h5py.File(tmp_path / f"set_{split}.h5", "w") as file:
            file["b10"] = np.stack([stack[[0, 1, 2, 6]]] * 2)
            file["b20"] = np.stack([stack[[3, 4, 5, 7, 8, 9], ::2, ::2]] * 2)
            file["pseudo_label"] = np.array([1, 255], np.uint8)
            file["pseudo_label"].attrs["classes"] = ["Forest", "River"]
    files = [str(tmp_path / f"set_{split}.h5") for split in ("train", "val", "test")]
    result = CliRunner().invoke(convert, [*files, "--out", str(tmp_path / "out")])
    assert result.exit_code == 0, result.output
    found = open_folder(tmp_path / "out")
    assert found.names == ("River_set_test_0", "River_set_train_0", "River_set_val_0")
    assert [at.tolist() for at in found.splits.values()] == [[1], [2], [0]]
    pixels = found.pixels([0])[0]
    assert (pixels[6] == stack[6]).all()
    assert (pixels[3] == np.rint(upsample2(stack[3, ::2, ::2]))).all()
