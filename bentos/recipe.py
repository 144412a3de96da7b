"""How a release becomes a container image: the files that every Bento carries under `env/docker`.

`Dockerfile` is for any builder, with the Bento's folder as context. It needs no BentoML where it is built and no
package manager of the base image, installs only files whose hash is in the release's own requirements, and what it
makes runs as nobody in particular, on a root file system that may be read-only. `entrypoint.sh` is for
`bentoml containerize`, which writes a Dockerfile of its own: the launcher is the same.
"""

from __future__ import annotations

DOCKERFILE = """\
# The image of a model server: its Python environment, its Bento, its launcher. Context: the Bento's folder.
# Of the network it needs a package index. Penstock builds it with `penstock image`.
ARG BASE=python:{python}-slim

FROM $BASE AS environment
# for networks with an index or a certificate of their own; they are not in the image that results
ARG PIP_INDEX_URL
ARG PIP_CERT
COPY src/requirements.txt /opt/requirements.txt
# a pip beside the environment, not in it: a server has nothing to install
RUN python -m venv /opt/pip \\
 && python -m venv --without-pip /opt/serve \\
 && /opt/pip/bin/pip --python /opt/serve/bin/python --disable-pip-version-check --no-cache-dir install --quiet \\
    --no-deps --no-compile --require-hashes --only-binary :all: -r /opt/requirements.txt \\
 && /opt/serve/bin/python -m compileall -q --invalidation-mode unchecked-hash /opt/serve/lib

FROM $BASE
ARG RELEASE
COPY --from=environment /opt/serve /opt/serve
COPY . /bento
RUN /opt/serve/bin/python -m compileall -q --invalidation-mode unchecked-hash /bento/src
ENV HOME=/tmp \\
    BENTOML_HOME=/tmp/bentoml \\
    PROMETHEUS_MULTIPROC_DIR=/tmp/metrics \\
    BENTOML_DO_NOT_TRACK=true \\
    DO_NOT_TRACK=true \\
    OMP_WAIT_POLICY=PASSIVE \\
    PENSTOCK_LISTEN=0.0.0.0:3000 \\
    PENSTOCK_RELEASE=$RELEASE
WORKDIR /tmp
EXPOSE 3000
# a number: an orchestrator can see that it is not root
USER 10001:10001
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 \\
    CMD ["/opt/serve/bin/python", "-I", "-S", "/bento/src/bentos/health.py"]
ENTRYPOINT ["/opt/serve/bin/python", "-I", "/bento/src/bentos/launch.py", "/bento"]
"""

ENTRYPOINT = """\
#!/bin/sh
# In an image made by `bentoml containerize`: Penstock's launcher instead of `bentoml serve`.
export PENSTOCK_LISTEN="${PENSTOCK_LISTEN:-0.0.0.0:3000}"
export HOME=/tmp BENTOML_HOME=/tmp/bentoml PROMETHEUS_MULTIPROC_DIR=/tmp/metrics
export BENTOML_DO_NOT_TRACK=true DO_NOT_TRACK=true OMP_WAIT_POLICY=PASSIVE
exec /app/.venv/bin/python -I "$BENTO_PATH/src/bentos/launch.py" "$BENTO_PATH"
"""


def container_files(python: str) -> dict[str, str]:
    """{name: text} of `env/docker` for a Python such as "3.11"."""
    return {"Dockerfile": DOCKERFILE.format(python=python), "entrypoint.sh": ENTRYPOINT}
