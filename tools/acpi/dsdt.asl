// SPDX-License-Identifier: BSD-2-Clause
/*
 * The DSDT of Bochs's i440FX machine, as OVMF sets it up: how it is switched off, its PCI bus with the
 * windows for devices, and where the interrupts of PCI slots arrive.
 */
DefinitionBlock ("", "DSDT", 1, "UMBRA ", "BOCHS   ", 1)
{
	Name (\_S5, Package () { 0, 0, 0, 0 })

	// 1: the system uses the I/O APIC
	Name (PICM, 0)
	Method (\_PIC, 1)
	{
		PICM = Arg0
	}

	Scope (\_SB)
	{
		Device (PCI0)
		{
			Name (_HID, EisaId ("PNP0A03"))
			Name (_UID, 0)
			Name (_CRS, ResourceTemplate ()
			{
				WordBusNumber (ResourceProducer, MinFixed, MaxFixed, PosDecode, 0, 0, 0xff, 0, 0x100)
				IO (Decode16, 0xcf8, 0xcf8, 1, 8)
				WordIO (ResourceProducer, MinFixed, MaxFixed, PosDecode, EntireRange,
					0, 0, 0xcf7, 0, 0xcf8)
				WordIO (ResourceProducer, MinFixed, MaxFixed, PosDecode, EntireRange,
					0, 0xd00, 0xffff, 0, 0xf300)
				DWordMemory (ResourceProducer, PosDecode, MinFixed, MaxFixed, Cacheable, ReadWrite,
					0, 0xa0000, 0xbffff, 0, 0x20000)
				DWordMemory (ResourceProducer, PosDecode, MinFixed, MaxFixed, NonCacheable, ReadWrite,
					0, 0x80000000, 0xfebfffff, 0, 0x7ec00000)
			})

			// PIRQ A to D: inputs 16 to 19 of the I/O APIC, interrupts 11, 11, 10, 10 of the two PICs
			Name (PICI, Package () { 11, 11, 10, 10 })

			// Pin p of device d is PIRQ (d + p - 1) & 3; devices 1 to 7, four pins each.
			Method (_PRT, 0, Serialized)
			{
				Local0 = Package (28) {}
				Local1 = 0
				While (Local1 < 28)
				{
					Local2 = 1 + (Local1 >> 2)
					Local3 = (Local2 + Local1 + 3) & 3
					Local4 = Package (4) { 0, 0, 0, 0 }
					Local4 [0] = (Local2 << 16) | 0xffff
					Local4 [1] = Local1 & 3
					If (PICM)
					{
						Local4 [3] = 16 + Local3
					}
					Else
					{
						Local4 [3] = DerefOf (PICI [Local3])
					}
					Local0 [Local1] = Local4
					Local1++
				}
				Return (Local0)
			}
		}
	}
}
