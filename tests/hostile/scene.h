/* What every attack on a server happens in: a server, a good client that it serves meanwhile, and the look at both
 * afterwards. The address's options come from the test; VMRPC_TEST_TRUST=no|yes in the environment is added. */
#ifndef SCENE_H
#define SCENE_H

#include <pthread.h>

#include "../e2e/checked_server.h"
#include "../e2e/lab_frames.h"
#include "process.h"
#include "raw.h"

#define SCENE_SLACK_MAPS 120 /* arenas of the C library's malloc */

struct scene {
	struct puppet server, client;
	struct process_use quiet; /* the server's, with nobody but the good client */
};

static inline void *scene_call_on(void *arg)
{
	struct vmrpc *conn = arg;
	struct lab_big big = {{1}}, result;

	for (int64_t i = 0;; i++) {
		int64_t sum;

		CHECK_OK(lab_add(conn, i, 1, &sum));
		CHECK_EQ(sum, i + 1);
		CHECK_OK(lab_big(conn, &big, &result));
		CHECK_EQ(result.words[0], 2);
		if (i % 16 == 0) /* two processors are few, and the attacker needs one */
			poll(NULL, 0, 1);
	}
	return NULL;
}

/* Calls without end in one thread; makes a few calls in another, and a connection of its own, when told to. */
static inline void scene_be_client(int fd, const char *address)
{
	struct vmrpc *conn = world_connect(address), *other;
	pthread_t thread;
	char what = 0;

	CHECK_OK(lab_null(conn));
	while (what != 'e') {
		CHECK_EQ(recv(fd, &what, 1, 0), 1);
		if (what == 'g')
			CHECK_EQ(pthread_create(&thread, NULL, scene_call_on, conn), 0);
		if (what == 's') {
			int64_t depth;

			CHECK_OK(lab_countdown(conn, 3, &depth));
			CHECK_EQ(depth, 3);
			other = world_connect(address);
			CHECK_OK(lab_null(other));
			vmrpc_close(other);
		}
		puppet_answer(fd, 0);
	}
	_exit(0); /* the other thread calls on */
}

/* options: of the server's address, each with its ampersand before it. */
static inline struct scene scene_begin(const char *options)
{
	const char *trust = getenv("VMRPC_TEST_TRUST");
	const bool isolated = strstr(options, "isolate=fork");
	struct scene scene;
	char address[160];

	world_begin();
	snprintf(address, sizeof address, "local:lab?lock=no%s%s%s", options, trust ? "&trust=" : "",
		 trust ? trust : "");
	scene.server = puppet_start(checked_server, address);
	puppet_ask(&scene.server, 'c');
	scene.quiet = process_look(scene.server.pid);
	scene.quiet.threads += isolated ? 0 : 2;
	scene.quiet.regions += isolated ? 0 : 1;
	scene.quiet.descriptors += isolated ? 1 : 2;
	scene.quiet.children += isolated;
	scene.client = puppet_start(scene_be_client, "local:lab");
	puppet_ask(&scene.client, 's');
	puppet_ask(&scene.client, 'g');
	return scene;
}

/* The server lives, its heaps are whole, and good clients are served: the old one and a new one. */
static inline void scene_check(const struct scene *scene)
{
	puppet_ask(&scene->client, 's');
	puppet_ask(&scene->server, 'c');
}

/* The server has let go of all that the attackers made it take. */
static inline void scene_settles(const struct scene *scene)
{
	scene_check(scene);
	process_settles(scene->server.pid, &scene->quiet, SCENE_SLACK_MAPS);
}

static inline void scene_end(const struct scene *scene)
{
	scene_settles(scene);
	puppet_end(&scene->client);
	puppet_end(&scene->server);
	world_end();
}

#endif
