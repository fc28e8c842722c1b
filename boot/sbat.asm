; SPDX-License-Identifier: BSD-2-Clause
; The image's generation for shim and the firmware, which refuse by it what has been revoked: a section of comma-separated lines,
; component, generation, vendor, package, version, URL (github.com/rhboot/shim, SBAT.md). The generation of umbra rises with a hole
; by which Secure Boot could be got round.
section .sbat progbits alloc noexec nowrite align=4096
	db "sbat,1,SBAT Version,sbat,1,https://github.com/rhboot/shim/blob/main/SBAT.md", 10
	db "umbra,1,Umbra,umbra,", UMBRA_VERSION, ",CONTRIBUTING.md", 10
