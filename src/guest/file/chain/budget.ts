/** The most reads that a page of a mounted chain takes unless told otherwise: each of the base, or of one batch of a patch. */
export const DEFAULT_MOST_READS = 4;
