"""Self-supervised training of features as EO4EU D3.4, section 2.2: SimCLR and its evaluation."""
