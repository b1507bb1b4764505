"""The architectures of the CPU names that LLVM knows, as far as a name tells.

Compared with the lists of `rustc --print target-cpus` (1.95) for all targets: no name is taken for one of another architecture.
"""

from __future__ import annotations

import re

from buildlib.machine.cfg_expression import facts

NAMES = {
    "x86": r"x86-64.*|i[3-6]86.*|pentium.*|core.*|nocona|penryn|yonah|prescott|bonnell|atom.*|silvermont|slm|goldmont.*|tremont"
    r"|.*lake(-.*)?|nehalem|westmere|.*bridge|haswell|broadwell|.*rapids(-.*)?|sierraforest|grandridge|clearwaterforest|kn[lm]"
    r"|mic_avx512|k[68].*|opteron.*|athlon.*|amdfam10|barcelona|btver\d|bdver\d|znver\d|geode|lakemont|winchip.*|c3.*",
    "arm": r"cortex-.*|neoverse-.*|arm\d.*|apple-.*|ampere.*|exynos.*|thunderx.*|a64fx|carmel|cyclone|falkor|kryo|saphira|tsv110|grace"
    r"|oryon.*|krait|swift|strongarm.*|xscale",
    "riscv64": r"sifive-.*|generic-rv.*|rocket.*|spacemit-.*|syntacore-.*|tt-.*|veyron-.*|xiangshan-.*|andes-.*",
    "powerpc64": r"pwr\d+.*|ppc.*|g\d",
    "s390x": r"z\d+|zEC12|z196|arch\d+",
    "loongarch64": r"la\d+",
}
FAMILIES = {"x86_64": "x86", "aarch64": "arm"}  # target_arch -> the name in NAMES, where it differs


def is_foreign(cpu: str, triple: str) -> bool:
    """Whether `cpu` is certainly no CPU of the triple's architecture."""
    arch = facts(triple).get("target_arch", "")
    families = [family for family, pattern in NAMES.items() if re.fullmatch(pattern, cpu)]
    return bool(families) and FAMILIES.get(arch, arch) not in families
