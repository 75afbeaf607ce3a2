"""What compression and learned features do to classification (EO4EU D3.4, sections 2.2 and 2.3.6)."""
