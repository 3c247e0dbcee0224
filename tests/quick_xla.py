"""XLA's flags where what it compiles runs for a moment: half of the time of JAX's tests was the compiler's care."""

QUICK = " ".join(
    (
        "--xla_backend_optimization_level=0",
        "--xla_llvm_disable_expensive_passes=true",
        "--xla_cpu_use_fusion_emitters=false",
    )
)
