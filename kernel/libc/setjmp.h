/* cmocka's own header wants it to be there; the tests do not use it. */
