"""Write labelled stacks in HDF5 as a folder in EuroSAT's layout.

python -m bench.downstream.convert eurosat_labelled.h5 --out eurosat
python -m bench.downstream.convert patches_train.h5 patches_val.h5 patches_test.h5 --out patches

A file holds ``stack`` (N, 10, H, W), or ``b10`` (N, 4, H, W) and ``b20`` (N, 6, H/2, W/2), and ``label`` or
``pseudo_label`` (N,), whose attribute ``classes`` names them; patches labelled beyond the classes are left out. Of
several files, named ``*_train.h5``, ``*_val.h5`` and ``*_test.h5``, each becomes a split.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click
import h5py
import numpy as np
import numpy.typing as npt
import rasterio
from rasterio.transform import Affine

from bench.downstream.eurosat import FILE_BANDS, FOLDER
from bench.downstream.patches import SPLITS, Stack
from eocodec.bands import MODEL_BANDS, band
from eocodec.resample import upsample2

_TEN_METRES = Affine(10, 0, 0, 0, -10, 0)


@click.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Folder to write.")
def main(files: tuple[Path, ...], out: Path) -> None:
    """Write FILES as a folder in EuroSAT's layout, with zeros for the bands that they lack."""
    for path in files:
        names = write_folder(path, out)
        split = path.stem.split("_")[-1]
        if len(files) > 1 and split in SPLITS:
            (out / f"{split}.csv").write_text("".join(f"{name}\n" for name in names))
        click.echo(f"{path.name}: {len(names)} patches")


def write_folder(path: Path, out: Path) -> list[str]:
    """Write the labelled patches of an HDF5 file; return their names."""
    names = []
    with h5py.File(path) as file:
        key = "label" if "label" in file else "pseudo_label"
        classes = [str(name) for name in file[key].attrs["classes"]]
        for index, label in enumerate(file[key][()]):
            if label >= len(classes):
                continue
            kind = classes[label]
            name = file["id"][index].decode() if "id" in file else f"{kind}_{path.stem}_{index}"
            names.append(name)
            folder = out / FOLDER / kind
            folder.mkdir(parents=True, exist_ok=True)
            _write_patch(folder / f"{name}.tif", _read_stack(file, index))
    return names


def _read_stack(file: h5py.File, index: int) -> Stack:
    if "stack" in file:
        stack: Stack = file["stack"][index]
        return stack
    planes = dict(_planes(file, index))
    return np.stack([planes[name] for name in MODEL_BANDS])


def _planes(file: h5py.File, index: int) -> Iterator[tuple[str, npt.NDArray[np.uint16]]]:
    fine = [name for name in MODEL_BANDS if band(name).resolution_m == 10]
    coarse = [name for name in MODEL_BANDS if band(name).resolution_m == 20]
    yield from zip(fine, file["b10"][index], strict=True)
    doubled = np.rint(upsample2(file["b20"][index])).astype(np.uint16)
    yield from zip(coarse, doubled, strict=True)


def _write_patch(path: Path, stack: Stack) -> None:
    pixels = np.zeros((len(FILE_BANDS), *stack.shape[1:]), np.uint16)
    pixels[[FILE_BANDS.index(name) for name in MODEL_BANDS]] = stack
    height, width = stack.shape[1:]
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        count=len(pixels),
        height=height,
        width=width,
        dtype="uint16",
        compress="deflate",
        transform=_TEN_METRES,
    ) as out:
        out.write(pixels)


if __name__ == "__main__":
    main()
