/*
 * plant.h - faults that tests plant, to prove that the power-loss simulator sees them.
 *
 * PLANTED is the constant 0 unless a build says -DPLANT=PLANT_… (one fault) or -DPLANT=plant_chosen
 * (the test chooses); `make fault-planted` builds so, nothing that is installed ever does.
 */
#ifndef SPOOL_PLANT_H
#define SPOOL_PLANT_H

enum plant {
	PLANT_NONE,
	PLANT_ACK_BEFORE_SYNC,     /* a batch is answered without its sync */
	PLANT_SYNC_ERROR_IGNORED,  /* a sync that fails counts as one that did not */
	PLANT_SYNC_RETRIED,        /* a batch that failed is synced again, and believed */
	PLANT_SEAL_NOT_WRITTEN,    /* messages are refused without a word on disk */
	PLANT_SEAL_NOT_SYNCED,     /* … before that word is durable */
	PLANT_SEAL_IGNORED,        /* recovery reads on behind the end that was written down */
	PLANT_COPY_NOT_SYNCED,     /* the source of a copy goes before the copy is durable */
	PLANT_DIR_NOT_SYNCED,      /* a file's name is not durable when its message is answered */
	PLANT_ERASE_NOT_SYNCED,    /* a file is born again while its old header may come back */
	PLANT_NONCE_REUSED,        /* all lives of all files have one nonce */
	PLANT_NONCE_UNCHECKED,     /* records of any life are believed */
	PLANT_CRC_UNCHECKED,       /* torn records are believed */
	PLANT_TAIL_IGNORED,        /* damage in a closed segment passes for a torn tail */
	PLANT_OLDEST_NOTE,         /* recovery keeps the first note of a message */
	PLANT_MARKS_NOT_SYNCED,    /* marks stay in the page cache */
	PLANT_MARKS_NOT_REPEATED,  /* a sync of marks fails, and that is all */
	PLANT_MARKS_RETIRED_EARLY, /* marks go before the segment they speak of */
	PLANT_NOTE_RETIRED_EARLY,  /* a segment of marks goes before newer notes are durable */
	PLANT_RECOVERY_UNSYNCED,   /* what recovery found in the page cache counts as durable */
	PLANTS_OF_SPOOL,
	PLANT_LETTER_GONE_EARLY = PLANTS_OF_SPOOL, /* a letter goes before its release is durable */
	PLANT_LETTER_GONE_UNSYNCED,  /* a released letter's name is removed, not for good */
	PLANT_LETTER_STAYERS_GONE,   /* a release for some takes the others with it */
	PLANT_LETTER_EXPIRES_IN_USE, /* a letter expires while a part of it is released */
	PLANT_LETTER_NAME_TAKEN,     /* a released message gets the name of another's letter */
	PLANT_LETTER_UNSYNCED,       /* recipients are settled before their letter is durable */
	PLANT_LETTER_DIR_UNSYNCED,   /* … before the letter's name is */
	PLANT_LETTER_ERROR_IGNORED,  /* a letter that cannot be written counts as written */
	PLANT_LETTER_OTHERS_UNSYNCED, /* of letters that share their syncs the first alone gets them */
	PLANTS
};

#ifdef PLANT
extern enum plant plant_chosen;
#define PLANTED(x) (PLANT == (x))
#else
#define PLANTED(x) 0
#endif

#endif
