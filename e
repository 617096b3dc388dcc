Error: /tmp/my/newr/new-01.json: cannot be written (Permission denied); the file is as it was.
