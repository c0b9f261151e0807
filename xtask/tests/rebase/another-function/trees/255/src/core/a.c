#include "a.h"

static int mount_controllers(int a) {
        int r;

        r = prepare(a);
        if (r < 0)
                return r;

        r = second(a);
        if (r < 0)
                return r;

        return finish(a);
}

