/* SPDX-License-Identifier: BSD-2-Clause */
/* The version, from the file VERSION by way of the Makefile. The build id is in arch/x86/symbols.h. */
#ifndef LIB_VERSION_H
#define LIB_VERSION_H

#define VERSION_QUOTE(text) #text
#define VERSION_EXPAND(text) VERSION_QUOTE(text)
#define VERSION_TEXT VERSION_EXPAND(UMBRA_VERSION)

#endif
