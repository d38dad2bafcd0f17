/*
 * Interrupt vectors, for C and assembler.
 */
#define X86_VECTOR_TIMER    0x40
#define X86_VECTOR_CALL     0x41
#define X86_VECTOR_WORK     0x42
#define X86_VECTOR_FREEZE   0x43
#define X86_VECTOR_SPURIOUS 0x4f
#define X86_VECTORS         0x50
