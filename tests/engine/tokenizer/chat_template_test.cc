#include "engine/tokenizer/chat_template.h"

#include <gtest/gtest.h>
TEST(X, Y) {}
