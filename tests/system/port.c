/* SPDX-License-Identifier: BSD-2-Clause */
/* port NUMBER SIZE [VALUE], inside a guest: reads or writes an I/O port. (Debian's cloud kernel has no /dev/port.) */
#include <stdio.h>
#include <stdlib.h>
#include <sys/io.h>

static unsigned int input(unsigned short port, int size)
{
	return size == 1 ? inb(port) : size == 2 ? inw(port) : inl(port);
}

static void output(unsigned short port, int size, unsigned int value)
{
	if (size == 1)
		outb((unsigned char)value, port);
	else if (size == 2)
		outw((unsigned short)value, port);
	else
		outl(value, port);
}

int main(int argc, char **argv)
{
	unsigned short port;
	int size;

	if (argc < 3)
		return 2;
	if (iopl(3)) {
		perror("iopl");
		return 1;
	}
	port = (unsigned short)strtoul(argv[1], NULL, 0);
	size = atoi(argv[2]);
	if (argc > 3)
		output(port, size, (unsigned int)strtoul(argv[3], NULL, 0));
	else
		printf("%x: %x\n", port, input(port, size));
	return 0;
}
