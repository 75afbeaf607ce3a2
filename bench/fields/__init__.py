"""The comparison on atmospheric fields: sizes at equal errors next to the codecs of that community."""
