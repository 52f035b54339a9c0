# mnv2-torch on CUDA. NOT TRIED: no machine of this project has had a container engine and a card at once. It is the
# CPU image with a CUDA compiler in the build stage and pip's CUDA libtorch, which brings the libraries of CUDA along.
#   docker build -t mnv2-torch-cuda -f docker/cuda.Dockerfile docker/
#   docker run --rm --gpus all -v "$PWD:/data" mnv2-torch-cuda doctor
# CUDA is that of the wheel (torch 2.13: 13.0). CUDAARCHS: the compute capabilities of your cards, since none is seen here.
ARG CUDA=13.0.1-devel-ubuntu24.04
ARG NODE=22-bookworm-slim

FROM node:${NODE} AS node

FROM nvidia/cuda:${CUDA} AS build
ARG PACKAGE=mnv2-torch
ARG TORCH=torch
ARG CUDAARCHS=80;90
COPY --from=node /usr/local/bin /usr/local/bin
COPY --from=node /usr/local/lib/node_modules /usr/local/lib/node_modules
COPY . /context
RUN apt-get update && apt-get install -y --no-install-recommends python3-pip \
 && python3 -m pip install --target /app/libtorch "$TORCH" \
 && LIBTORCH=/app/libtorch/torch CUDAARCHS="$CUDAARCHS" sh /context/build.sh "$PACKAGE"

# As new a glibc as the addon was built with.
FROM ubuntu:24.04
COPY --from=node /usr/local/bin /usr/local/bin
COPY --from=build /app /app
COPY final.sh /app/final.sh
ENV PATH=/app/node_modules/.bin:$PATH NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,utility
RUN apt-get update && apt-get install -y --no-install-recommends libstdc++6 ca-certificates && rm -rf /var/lib/apt/lists/* \
 && useradd --create-home classifier
USER classifier
RUN sh /app/final.sh
WORKDIR /data
ENTRYPOINT ["mnv2-torch"]
