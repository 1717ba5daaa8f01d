"""One node as processes: embedded servers, the fills process, gunicorn, and who watches them."""
