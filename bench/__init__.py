"""The benchmarks: one file per question asked. `bench/README.md` says how to run them."""
