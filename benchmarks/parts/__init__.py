"""The parts of the benchmark. Each has `measure(options)`, which answers its Section."""
