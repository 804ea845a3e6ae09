# samvar with PyTorch for the CPU and every extra but ray's:
#     docker build -t samvar . && docker run --rm -i -v "$PWD:/data:ro" samvar annotate - -f ref.fa -a genes.gtf.gz < in.vcf
FROM python:3.12-slim AS build
COPY . /src
RUN pip install --no-cache-dir --prefix /install torch --index-url https://download.pytorch.org/whl/cpu \
        --extra-index-url https://pypi.org/simple \
    && PYTHONPATH=/install/lib/python3.12/site-packages pip install --no-cache-dir --prefix /install '/src[arrow,bigwig,hgvs,plot,report,serve]'

FROM python:3.12-slim
COPY --from=build /install /usr/local
# matplotlib keeps its fonts in a folder, and there is no HOME
ENV MPLCONFIGDIR=/tmp/matplotlib PYTHONUNBUFFERED=1
USER 65534:65534
WORKDIR /data
ENTRYPOINT ["samvar"]
CMD ["--help"]
