"""The tiny project up to its evaluation, to be packaged; and a plain HTTP client for its server."""

from __future__ import annotations

import contextlib
import http.client
import socket
import urllib.parse

import polars as pl

from penstock.refs import Checked, DataFile, Dataset
from tasks.data.project import load_project, schema_text
from tasks.data.sources import load_source
from tasks.packaging.infra import check_package
from tasks.packaging.packaging import package_model
from tasks.packaging.serving_env import serving_requirements
from tasks.store import store
from tasks.training.evaluation import evaluate_model
from tasks.training.splitting import split_dataset
from tasks.training.training import train_model
from tests.waiting import PATIENCE


class Trained:
    """The tiny project up to its evaluation, without DVC."""

    def __init__(self, monkeypatch) -> None:
        self.project = project = load_project("tiny")
        source = load_source(project)
        rows = pl.concat([source.read(name).rows for name in source.names()])
        with store.new_file("rows.parquet") as draft:
            rows.write_parquet(draft.path)
        monkeypatch.setattr("tasks.training.splitting.dataset_paths", lambda dataset: [store.locate(draft.ref)])
        dataset = Dataset(path="d", version="1" * 32 + ".dir", files=(DataFile(path="r.parquet", md5="1", size=1),))
        checked = Checked(report=store.put_json({}, "r.json"), excluded=None, rows=rows.height, invalid=0)
        self.splits = split_dataset(
            dataset, checked, project.features, project.split, project.evaluate, project.train.task
        )
        self.model = train_model(self.splits, project.features, project.train)
        self.evaluation = evaluate_model(
            self.splits, self.model, project.features, project.evaluate, project.train.target
        )

    def package(self, requirements=None):
        project = self.project
        return package_model(
            self.model,
            self.evaluation,
            self.splits,
            schema_text(project),
            project.features,
            project.package,
            requirements or serving_requirements(),
            project.name,
        )

    def check(self, package):
        project = self.project
        return check_package(package, self.evaluation, self.splits, project.features, project.package)


class Client:
    """Plain HTTP to a running server: to an address, or to whoever listens on a socket."""

    def __init__(self, server: str | socket.socket) -> None:
        self.server = server

    def connection(self) -> http.client.HTTPConnection:
        if isinstance(self.server, str):
            return http.client.HTTPConnection(urllib.parse.urlsplit(self.server).netloc, timeout=PATIENCE)
        connection = http.client.HTTPConnection("localhost", timeout=PATIENCE)
        connection.sock = socket.socket(self.server.family, socket.SOCK_STREAM)
        connection.sock.settimeout(PATIENCE)
        connection.sock.connect(self.server.getsockname())
        if self.server.family == socket.AF_INET:  # a head and a body are two packets: 40 ms otherwise
            connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection

    def __call__(self, method: str, path: str, body: bytes | str | None = None, **headers: str):
        connection = self.connection()
        with contextlib.closing(connection):
            connection.request(method, path, body, {name.replace("_", "-"): text for name, text in headers.items()})
            answer = connection.getresponse()
            return answer.status, answer.read(), answer.headers
