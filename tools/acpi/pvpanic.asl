// SPDX-License-Identifier: BSD-2-Clause
// The port at which a guest tells of a panic (option panic=watch, docs/debugging.md), as QEMU's device pvpanic has it
// (QEMU, docs/specs/pvpanic.txt). For the key "acpi" of a boot entry: iasl -p pvpanic pvpanic.asl
DefinitionBlock ("", "SSDT", 2, "UMBRA", "PVPANIC", 1)
{
	Scope (\_SB)
	{
		Device (PEVT)
		{
			Name (_HID, "QEMU0001")
			Name (_UID, 0)
			Name (_STA, 0x0f)
			Name (_CRS, ResourceTemplate ()
			{
				IO (Decode16, 0x0505, 0x0505, 0x01, 0x01)
			})
		}
	}
}
