# Scoring, without Keras and TensorFlow:
#     docker build -t clicv2-keras .
#     docker run --rm -v "$PWD/photos:/images:ro" clicv2-keras score .
#     docker run --rm -p 8000:8000 clicv2-keras demo --host 0.0.0.0 --port 8000 --no-browser
FROM python:3.13-slim AS build
COPY . /src
RUN pip wheel --no-cache-dir --no-deps --wheel-dir /wheels /src

FROM python:3.13-slim
COPY --from=build /wheels /wheels
RUN pip install --no-cache-dir /wheels/*.whl && rm -r /wheels
USER nobody
WORKDIR /images
ENTRYPOINT ["clicv2-keras"]
CMD ["--help"]
