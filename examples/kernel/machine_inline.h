/* The table's inline half, for one thread on one CPU: a lock that is held is held by ourselves, for ever. */
#define WINDOW      0xd0000000u
#define WINDOW_SIZE (16u << 20)
extern uint32_t window_table[]; /* an entry for each page of the window */
extern struct thread_state the_thread;
static inline struct thread_state *machine_thread_state(void) { return (&the_thread); }
static inline bool machine_trylock(struct machine_lock *l) { return (l->word == 0 && (l->word = 1)); }
static inline void machine_lock(struct machine_lock *l) {
	MUST(machine_trylock(l), "waits for itself");
}
static inline void machine_unlock(struct machine_lock *l) { l->word = 0; }
static inline vm_paddr_t machine_extract(vm_offset_t va) {
	uint32_t entry = va - WINDOW < WINDOW_SIZE ? window_table[(va - WINDOW) >> PAGE_SHIFT] : 0;
	return (entry != 0 ? (entry & ~0xfffu) | (va & 0xfff) : MACHINE_NOPAGE);
}
void machine_init(const void *loader);
_Noreturn void machine_exit(int status);
