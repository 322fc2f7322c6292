"""What a process is made of: Daphne with what it lacks, probes, static files, migrations.

Everything else may be used here; no other room knows it.
"""
