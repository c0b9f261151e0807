#include "a.h"

int pad0;
int pad1;
int pad2;
int pad3;
int pad4;
int pad5;
int pad6;
int pad7;
int pad8;
int pad9;
int pad10;
int pad11;
static int first(int a) {
        start();
        begin();
        more();
        most();
        int r;
        r = go(a);
        r++;
        r--;
        return r;
}

static int second(int a) {
        start();
        begin();
        more();
        most();
        int r;
        r = go(a);
        r++;
        r--;
        return r;
}

