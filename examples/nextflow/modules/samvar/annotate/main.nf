process SAMVAR_ANNOTATE {
    tag "${meta.id} ${region}"
    label 'process_single'

    conda "${moduleDir}/environment.yml"
    container "samvar" // built with the Dockerfile of the repository

    input:
    tuple val(meta), path(vcf), path(index), val(order), val(region)
    tuple path(fasta), path(fai)
    path annotation

    output:
    tuple val(meta), val(order), path("*.part.vcf.gz"), emit: vcf
    path "versions.yml", emit: versions

    script:
    def args = task.ext.args ?: ''
    """
    samvar annotate ${vcf} -f ${fasta} -a ${annotation} -r '${region}' --regions-overlap pos \\
        --threads ${task.cpus} --no-version -O z -o ${meta.id}.${order}.part.vcf.gz ${args}

    echo "\\"${task.process}\\": {samvar: \$(samvar --version | sed 's/.* //')}" > versions.yml
    """

    stub:
    """
    echo '' | gzip > ${meta.id}.${order}.part.vcf.gz
    echo "\\"${task.process}\\": {samvar: \$(samvar --version | sed 's/.* //')}" > versions.yml
    """
}
