# samvar with PyTorch for the CPU and every extra but ray's, and what the workflows of examples/ need beside it:
#     docker build -t samvar .
#     docker run --rm -i -v "$PWD:/data:ro" samvar samvar annotate - -f ref.fa -a genes.gtf.gz < in.vcf
# There is no entry point: Nextflow starts a shell.
FROM python:3.12-slim AS build
COPY . /src
RUN pip install --no-cache-dir --prefix /install torch --index-url https://download.pytorch.org/whl/cpu \
        --extra-index-url https://pypi.org/simple \
    && PYTHONPATH=/install/lib/python3.12/site-packages pip install --no-cache-dir --prefix /install '/src[arrow,bigwig,hgvs,plot,report,serve]'

FROM python:3.12-slim
RUN apt-get update && apt-get install -y --no-install-recommends bcftools procps tabix && rm -rf /var/lib/apt/lists/*
COPY --from=build /install /usr/local
# matplotlib keeps its fonts in a folder, and there is no HOME
ENV MPLCONFIGDIR=/tmp/matplotlib PYTHONUNBUFFERED=1
USER 65534:65534
WORKDIR /data
CMD ["samvar", "--help"]
