// samvar annotate, one task per region, parts put together in the order of the input:
//   nextflow run examples/nextflow --vcf in.vcf.gz --fasta ref.fa --annotation genes.gtf.gz
// A record belongs to the region that its POS lies in, so that each comes back once. Every contig that the VCF's index
// names is covered, those that the FASTA lacks too. VCF with its .tbi, FASTA with its .fai. The container `samvar` is a
// placeholder for an image that you build with the Dockerfile of the repository.
nextflow.enable.dsl = 2

include { SAMVAR_ANNOTATE } from './modules/samvar/annotate/main'

params.vcf = null
params.fasta = null
params.annotation = null
params.window = 20000000
params.outdir = 'results'

process REGIONS {
    conda 'bioconda::htslib'
    container 'samvar'

    input:
    tuple path(vcf), path(index)
    tuple path(fasta), path(fai)

    output:
    path 'regions.txt'

    script:
    """
    tabix -l ${vcf} | awk -v step=${params.window} '
        NR == FNR { length_of[\$1] = \$2; next }
        { n = length_of[\$1] ? length_of[\$1] : 1
          for (start = 1; start <= n; start += step)
              print \$1 ":" start "-" (start + step <= n ? start + step - 1 : "") }' ${fai} - > regions.txt
    """

    stub:
    """
    echo 'stub:1-1' > regions.txt
    """
}

process CONCAT {
    conda 'bioconda::bcftools'
    container 'samvar'
    publishDir params.outdir, mode: 'copy'

    input:
    tuple val(meta), path(parts)

    output:
    path "${meta.id}.samvar.vcf.gz"

    script:
    """
    bcftools concat --no-version --naive -O z -o ${meta.id}.samvar.vcf.gz ${parts}
    """

    stub:
    """
    echo '' | gzip > ${meta.id}.samvar.vcf.gz
    """
}

workflow {
    vcf = tuple(file(params.vcf), file("${params.vcf}.tbi"))
    fasta = tuple(file(params.fasta), file("${params.fasta}.fai"))
    meta = [id: file(params.vcf).simpleName]

    regions = REGIONS(vcf, fasta)
        .splitText()
        .map { it.trim() }
        .toList()
        .flatMap { all -> all.withIndex().collect { region, i -> tuple(meta, vcf[0], vcf[1], i, region) } }
    SAMVAR_ANNOTATE(regions, fasta, file(params.annotation))
    CONCAT(SAMVAR_ANNOTATE.out.vcf
        .toSortedList { a, b -> a[1] <=> b[1] }
        .map { parts -> tuple(meta, parts.collect { it[2] }) })
}
