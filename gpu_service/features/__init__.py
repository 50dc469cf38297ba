"""What a segment sounds like in numbers: pooling, projection, int8. numpy only."""
