"""What is known about a counterfactual: metrics, verdict, readout, record."""
