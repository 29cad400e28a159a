# EdgeSpiral in a container, with the versions that it is tested with.
#
#   docker build -t edgespiral .                        # the PyTorch of the index: runs on CUDA, too
#   docker build -t edgespiral --build-arg PIP_OPTIONS="--extra-index-url URL" .   # another PyTorch
#   docker run --rm -v "$PWD:/project" edgespiral doctor
#   docker run --rm --gpus all -v "$PWD:/project" edgespiral compress --config plan.toml
FROM python:3.11-slim-bookworm AS base
# ssh and adb reach devices, git is what `bench --against-ref` asks.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends adb git openssh-client \
    && rm -rf /var/lib/apt/lists/*

FROM base AS dev
# What `make setup` and the suite need; .devcontainer/devcontainer.json builds this.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends build-essential make openssh-server \
    && rm -rf /var/lib/apt/lists/*

FROM base
ARG PIP_OPTIONS=""
ARG EXTRAS="timm,detection,speech,android"
COPY . /source
# Links of a checkout become files in the wheel, so the source can go.
RUN pip install --no-cache-dir $PIP_OPTIONS -c /source/requirements/constraints.txt "/source[$EXTRAS]" \
    && rm -rf /source
RUN useradd --create-home user && mkdir /project && chown user /project
USER user
WORKDIR /project
ENTRYPOINT ["edgespiral"]
CMD ["--help"]
