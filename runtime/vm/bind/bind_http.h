/* bind_http: bodies that are not texts, for bind_http.c's tables; and what bind_set.c needs of one
 * that stays outside Lua. Control thread only. */
#pragma once

#include <lua.h>

#define BODY_TYPE "body"
#define EXCHANGE_TYPE "exchange"

/* The bytes of the body at `index`, until it is closed; FETCH_PADDING more can be read behind them.
 * Raises for what is no body, or a closed one. */
const char *http_body_check(lua_State *L, int index, size_t *length);

int http_body_length(lua_State *L);   /* body:length() */
int http_body_text(lua_State *L);     /* body:text([bytes]) */
int http_stream_read(lua_State *L);   /* response:read([timeout]) */
int http_stream_close(lua_State *L);  /* response:close() */
int http_request_write(lua_State *L); /* request:write(text): true once it is on its way */
