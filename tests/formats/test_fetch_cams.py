"""Fetching CAMS, with the real cdsapi against a local server that answers as the ADS does.

The Atmosphere Data Store itself is not asked: the answers follow the retrieve API that cdsapi 0.7 speaks
(process, execution, job, results, asset), with GRIB of the tests' own sample.
"""

import datetime
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import h5py
import numpy as np
import pytest
from click.testing import CliRunner

from eocodec.formats.fetch_cams import DATASETS, command, fetch, request_of, split_of
from eocodec.formats.fields import open_fields

GRIB = Path("tests/data/era5_levels.grib")
EAC4 = DATASETS["eac4"].name


def hybrid_messages():
    """Return the GRIB messages of the sample on hybrid levels, which come first."""
    data, end = GRIB.read_bytes(), 0
    for _ in range(3):
        end += int.from_bytes(data[end + 8 : end + 16], "big")
    return data[:end]


class Store(BaseHTTPRequestHandler):
    """Answers as the ADS: jobs are running when asked first, then successful, or failed for xenon."""

    def log_message(self, *args):
        pass

    def answer(self, status, content, kind="application/json"):
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def do_POST(self):
        length = int(self.headers["Content-Length"])
        inputs = json.loads(self.rfile.read(length))["inputs"]
        assert self.headers["PRIVATE-TOKEN"] == "secret"
        if self.path.endswith("/constraints"):
            self.answer(200, {"variable": ["temperature"], "model_level": inputs["model_level"]})
            return
        assert self.path == f"/api/retrieve/v1/processes/{EAC4}/execution"
        self.server.requests.append(inputs)
        self.answer(201, self.job(len(self.server.requests), "accepted"))

    def job(self, number, status):
        link = {"rel": "monitor", "href": f"{self.server.url}/api/retrieve/v1/jobs/{number}"}
        own = {**link, "rel": "self"}
        return {"jobID": str(number), "status": status, "links": [link, own], "processID": EAC4}

    def do_HEAD(self):
        self.do_GET()

    def do_GET(self):
        parts = self.path.partition("?")[0].strip("/").split("/")
        if parts[:4] == ["api", "retrieve", "v1", "processes"]:
            self.answer(200, {"id": parts[4]})
        elif parts[-1] == "results":
            number = int(parts[-2])
            if "xenon" in self.server.requests[number - 1]["variable"]:
                self.answer(400, {"title": "The job failed", "detail": "no xenon"})
                return
            asset = {
                "type": "application/x-grib",
                "href": f"{self.server.url}/cache/{number}.grib",
                "file:size": len(self.server.grib),
            }
            self.answer(200, {"asset": {"value": asset}})
        elif "catalogue" in parts or parts == ["api", "retrieve", "v1"]:
            self.answer(200, {"messages": []})
        elif parts[-2] == "jobs":
            failed = "xenon" in self.server.requests[int(parts[-1]) - 1]["variable"]
            self.answer(200, self.job(int(parts[-1]), "failed" if failed else "successful"))
        elif parts[0] == "cache":
            self.answer(200, self.server.grib, "application/x-grib")
        else:
            self.answer(404, {"title": "not found"})


@pytest.fixture
def store():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Store)
    server.url = f"http://127.0.0.1:{server.server_port}"
    server.grib, server.requests = hybrid_messages(), []
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def call(store, folder, *args):
    options = ["--url", f"{store.url}/api", "--key", "secret", "--dates", "2019-01-01/2019-01-27"]
    return CliRunner().invoke(command, [str(folder), *options, "--every", "26", *args])


def test_fields_are_fetched_once_and_listed(store, tmp_path):
    result = call(store, tmp_path / "cams", "--variables", "all", "--levels", "1,2,3")
    assert result.exit_code == 0, result.output
    index = json.loads((tmp_path / "cams" / "index.json").read_text())
    days = ["2019-01-01", "2019-01-27"]
    names = [f"{EAC4}__{day}__temperature__t.nc" for day in days]
    assert [entry["file"] for entry in index["fields"]] == names
    assert [entry["split"] for entry in index["fields"]] == ["train", "test"]
    entry = index["fields"][0]
    assert (entry["var"], entry["name"], entry["units"]) == ("t", "Temperature", "K")
    assert entry["shape"] == [1, 3, 24, 40]
    assert "Copernicus" in entry["licence"]
    with open_fields(GRIB) as (ds, _), h5py.File(tmp_path / "cams" / names[1]) as file:
        assert np.array_equal(file["t"][0], ds.t_hybrid.values)
        assert file["lon"][:3].tolist() == [0, 9, 18]
    assert sorted(path.name for path in (tmp_path / "cams").iterdir()) == [*names, "index.json"]
    assert store.requests[0] == request_of(
        DATASETS["eac4"], "temperature", datetime.date(2019, 1, 1), ["00:00"], [1, 2, 3]
    )
    (tmp_path / "cams" / names[0]).unlink()
    result = call(store, tmp_path / "cams", "--variables", "temperature")
    assert "2019-01-27__temperature: there already" in result.output
    assert [request["date"] for request in store.requests[2:]] == [["2019-01-01/2019-01-01"]]


def test_a_failed_request_leaves_the_others(store, tmp_path):
    result = call(store, tmp_path, "--variables", "xenon,temperature", "--every", "90")
    assert result.exit_code == 1
    assert "1 of 2 requests failed" in result.output
    assert "no xenon" in result.output
    index = json.loads((tmp_path / "index.json").read_text())
    assert [entry["var"] for entry in index["fields"]] == ["t"]


class CutClient:
    """A client whose download breaks off."""

    def retrieve(self, name, request, target):
        Path(target).write_bytes(hybrid_messages()[:-50])


def test_a_cut_download_is_not_listed(tmp_path):
    day = datetime.date(2019, 1, 1)
    (line,) = fetch(CutClient(), tmp_path, DATASETS["eac4"], ["temperature"], [day])
    assert line.startswith(f"{EAC4}__2019-01-01__temperature: ")
    assert not list(tmp_path.iterdir())


def test_weeks_stay_in_one_split():
    monday = datetime.date(2018, 12, 31)
    splits = [split_of(monday + datetime.timedelta(day)) for day in range(700)]
    assert {name: splits.count(name) for name in set(splits)} == {
        "train": 560,
        "val": 70,
        "test": 70,
    }


def test_options_that_cannot_be_are_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("CDSAPI_RC", str(tmp_path / "none"))
    result = CliRunner().invoke(command, [str(tmp_path), "--dates", "someday"])
    assert "no day" in result.output
    result = CliRunner().invoke(command, [str(tmp_path), "--dates", "2019-01-01"])
    assert (result.exit_code, "configuration file" in result.output) == (1, True)
