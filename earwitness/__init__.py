"""What programs that use Earwitness import; the house itself is in the other packages."""
