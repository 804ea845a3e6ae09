process SAMVAR_ANNOTATE {
    tag "${meta.id} ${region}"
    label 'process_single'

    conda "${moduleDir}/environment.yml"
    // A placeholder: no registry has an image of samvar yet. Build one with the Dockerfile of the repository
    // (docker build -t samvar .), or name your own with its registry (`process.container` in nextflow.config).
    container "samvar"

    input:
    tuple val(meta), path(vcf), path(index), val(order), val(region)
    tuple path(fasta), path(fai)
    path annotation

    output:
    tuple val(meta), val(order), path("*.part.vcf.gz"), emit: vcf
    path "versions.yml", emit: versions

    when:
    task.ext.when == null || task.ext.when

    script:
    def args = task.ext.args ?: ''
    def prefix = task.ext.prefix ?: "${meta.id}"
    """
    samvar annotate ${vcf} -f ${fasta} -a ${annotation} -r '${region}' --regions-overlap pos \\
        --threads ${task.cpus} --no-version -O z -o ${prefix}.${order}.part.vcf.gz ${args}

    cat <<-END_VERSIONS > versions.yml
    "${task.process}":
        samvar: \$(samvar --version | sed 's/.* //')
    END_VERSIONS
    """

    stub:
    def prefix = task.ext.prefix ?: "${meta.id}"
    """
    echo '' | gzip > ${prefix}.${order}.part.vcf.gz

    cat <<-END_VERSIONS > versions.yml
    "${task.process}":
        samvar: \$(samvar --version | sed 's/.* //')
    END_VERSIONS
    """
}
