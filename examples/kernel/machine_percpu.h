/* The caches without a fast path: every stack stays closed, and all work is done inside enter and exit. */
static inline void *percpu_pop(struct percpu *c) { return (NULL); }
static inline bool percpu_push(struct percpu *c, void *item) { return (false); }
static inline bool percpu_push_free(struct percpu *c, void *item) { return (false); }
