/* A small C program: what starting any program costs. */

int main(void)
{
    return 0;
}
