/* Restartable sequences come here; until then both operations take the slow path. */
static inline void *
percpu_pop(struct percpu *zone_cache)
{
	(void)zone_cache;
	return (NULL);
}

static inline bool percpu_push(struct percpu *zone_cache, void *item) { (void)zone_cache; (void)item; return (false); }
static inline bool percpu_push_free(struct percpu *zone_cache, void *item) { (void)zone_cache; (void)item; return (false); }
