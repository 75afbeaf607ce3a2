"""Training of the shipped networks and of the D3.4 reference: ``eocodec train CONFIG``."""
