/* Calls of every shape between two processes. */
#include "world.h"

TEST(scalars_pass)
{
	struct vmrpc *conn;
	int64_t result;
	pid_t server;

	world_begin();
	server = world_serve("local:lab");
	conn = world_connect("local:lab");
	CHECK_OK(lab_null(conn));
	for (int64_t i = 0; i < 1000; i++) {
		CHECK_OK(lab_add(conn, i, INT64_C(1) << 40, &result));
		CHECK_EQ(result, i + (INT64_C(1) << 40));
	}
	CHECK_OK(lab_six(conn, 1, 2, 3, 4, 5, 6, &result));
	CHECK_EQ(result, 1 + 4 + 9 + 16 + 25 + 36);
	vmrpc_close(conn);
	world_stop(server);
	world_end();
}

TEST_MAIN()
